"""`--software-deployment-method conda`, with a stand-in for conda: there is none here.

The stand-in keeps what it is asked and makes a virtual environment; what Snakemake then does in it is real.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
import yaml
from workflow import HANGS, REPOSITORY, Workflow

STAND_IN = """#!{python}
import json, pathlib, subprocess, sys
here = pathlib.Path(__file__).resolve().parents[1]
words = sys.argv[1:]
if words[:1] == ["info"]:
    print(json.dumps({{"conda_prefix": str(here), "platform": "linux-64"}}))
elif words == ["--version"]:
    print("conda 25.1.0")
elif words[:1] == ["config"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif words[:1] == ["clean"]:
    pass
elif words[:2] == ["env", "create"]:
    prefix = words[words.index("--prefix") + 1]
    (here / "asked.yaml").write_text(pathlib.Path(words[words.index("--file") + 1]).read_text())
    subprocess.run([{python!r}, "-m", "venv", prefix], check=True)
    subprocess.run([f"{{prefix}}/bin/pip", "uninstall", "-q", "-y", "setuptools"], check=True)
    (site,) = pathlib.Path(prefix).glob("lib/python3*/site-packages")
    (site / "needed.pth").write_text({site!r})
else:
    sys.exit(f"the stand-in does not know: {{words}}")
"""


@pytest.mark.slow
def test_jobs_run_in_an_environment_with_the_package_of_the_checkout(tmp_path):
    conda = tmp_path / "conda/bin"
    conda.mkdir(parents=True)
    (conda / "conda").write_text(STAND_IN.format(python=sys.executable, site=sysconfig.get_path("purelib")))
    (conda / "conda").chmod(0o755)
    (conda / "activate").write_text('. "$1/bin/activate"\n')
    workflow = Workflow.create(tmp_path / "w")
    workflow.own_package()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, workflow.folder)
    script = workflow.folder / "workflow/scripts/stage.py"
    script.write_text(script.read_text() + "    import sys\n    print('ran in', sys.prefix)\n")
    # what conda and pip would fetch is in this environment
    environment = workflow.environment | {
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
    }
    environment["PATH"] = f"{conda}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--sdm", "conda", "--", "results/small/tiny/pipeline_config.yaml"],
        cwd=workflow.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=HANGS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    asked = yaml.safe_load((conda.parent / "asked.yaml").read_text())
    assert asked == yaml.safe_load((REPOSITORY / "envs/spdclust.yaml").read_text())
    log = (workflow.folder / "results/logs/small/tiny/resolve_configuration.log").read_text()
    assert f"ran in {workflow.folder}/.snakemake/conda/" in log
    (record,) = workflow.folder.glob(
        ".snakemake/conda/*/lib/python3*/site-packages/spdclust-*/direct_url.json"
    )
    installed = json.loads(record.read_text())
    assert installed == {"dir_info": {"editable": True}, "url": workflow.folder.as_uri()}
