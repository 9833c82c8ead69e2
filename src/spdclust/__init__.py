"""Find, and learn how far to trust, the groups of components inside decomposed neural networks.

`__init__.pyi` lists the names. They are imported when they are first used, so that
`import spdclust` stays fast.
"""

import lazy_loader

from spdclust.core.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
