"""What a bug report needs of the machine: versions, variables of the environment, how ShadowNB was installed."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

from shadownb._version import __version__

# Whose values decide how something is computed or loaded, and hold nothing else; of all others at most the name is shown.
_SHOWN = """ATEN_CPU_CAPABILITY CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUDA_VISIBLE_DEVICES DNNL_MAX_CPU_ISA HF_DATASETS_OFFLINE
    HF_HUB_DISABLE_XET HF_HUB_ENABLE_HF_TRANSFER HF_HUB_OFFLINE KMP_AFFINITY KMP_BLOCKTIME LANG LC_ALL MKL_ENABLE_INSTRUCTIONS
    MKL_NUM_THREADS OMP_NUM_THREADS OMP_WAIT_POLICY ONEDNN_MAX_CPU_ISA OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS
    PYTHONHASHSEED PYTHONUNBUFFERED PYTHONUTF8 PYTORCH_CUDA_ALLOC_CONF PYTORCH_ENABLE_MPS_FALLBACK RANK SHADOWNB_CPU
    SHADOWNB_PROGRESS TOKENIZERS_PARALLELISM TRANSFORMERS_OFFLINE WORLD_SIZE"""
# Which of these are set is worth knowing; what they hold is not.
_NAMED = """ALL_PROXY ANTHROPIC_API_KEY ANTHROPIC_BASE_URL CONDA_PREFIX CURL_CA_BUNDLE HF_ENDPOINT HF_HOME HF_HUB_CACHE HF_TOKEN
    HTTPS_PROXY HTTP_PROXY JPY_PARENT_PID JPY_SESSION_NAME JUPYTERHUB_USER JUPYTER_CONFIG_DIR KAGGLE_KERNEL_RUN_TYPE
    LD_LIBRARY_PATH LD_PRELOAD MLFLOW_TRACKING_URI NO_PROXY OPENAI_API_KEY OPENAI_BASE_URL PYTHONPATH REQUESTS_CA_BUNDLE
    SHADOWNB_DATA SHADOWNB_HOME SLURM_JOB_ID SSL_CERT_FILE TMPDIR TORCH_HOME VIRTUAL_ENV VSCODE_PID WANDB_API_KEY WANDB_MODE
    XDG_CACHE_HOME"""
_PLAIN = re.compile(
    r"[A-Za-z]{1,12}|[A-Za-z_]{1,12}:[A-Za-z]{1,8}|[a-z]{2}_[A-Z]{2}(?:\.UTF-?8)?|C\.UTF-?8|\d{1,4}(?:,\d{1,4}){0,15}"
)
_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|AUTH|CREDENTIAL|COOKIE|PRIVATE|SIGNATURE|DSN|SALT|WEBHOOK|_URL|_URI", re.IGNORECASE
)


def packages() -> dict[str, str]:
    """Return the installed packages that ShadowNB depends on, directly or not, with their versions; no others are named."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [("shadownb", extra) for extra in ("", "qlora", "lab")]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = here.version
        for text in here.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                brought = [(wanted.name.lower(), more) for more in ("", *wanted.extras)]
                waiting += [pair for pair in brought if pair not in seen]
                seen.update(brought)
    return dict(sorted(found.items()))


def environment() -> Iterator[str]:
    """Yield a line for each variable that matters here: with its value where that can hold no secret, else by its name."""
    shown, named, others = _SHOWN.split(), _NAMED.split(), 0
    for name, value in sorted(os.environ.items()):
        if name in shown:
            yield f"{name}={value}" if _PLAIN.fullmatch(value) else f"{name} is set"
        elif name in named:
            yield f"{name} is set"
        else:
            others += 1
    yield f"and {others} more, which are not named"


def secrets() -> list[str]:
    """Return the values of the environment that may be secret, and users and passwords that stand in addresses."""
    found = [value for name, value in os.environ.items() if _SECRET.search(name)]
    for value in os.environ.values():
        for pair in re.findall(r"://([^\s@]+)@", value):
            found += [part for text in (pair, unquote(pair)) for part in (text, text.partition(":")[2]) if part]
    return found


def installation() -> Iterator[str]:
    """Yield how ShadowNB and Python were installed, without a path."""
    yield f"ShadowNB {__version__}"
    yield f"{platform.python_implementation()} {platform.python_version()}"
    yield f"{platform.system()} {platform.release()} {platform.machine()}"
    if (Path(sys.prefix) / "conda-meta").is_dir():
        yield "environment: conda"
    else:
        yield f"environment: {'virtual' if sys.prefix != sys.base_prefix else 'of the system'}"
    folder = Path(__file__).resolve().parents[2]
    yield f"package: {'installed' if 'site-packages' in folder.parts else 'a checkout'}"
