"""How the kernels of the merge are compiled: as all kernels of the package."""

from spdclust.compiling import compiled as compiled
from spdclust.compiling import one_process_compiles as one_process_compiles
from spdclust.compiling import use_own_cache as use_own_cache
