"""Which files of a folder are worth a look, by their names alone."""

from pathlib import PurePath

_FOLDERS = frozenset(
    (
        "node_modules", "__pycache__", "site-packages", "venv", "env", "bower_components",
        "__MACOSX", "dist-info",
    )
)  # fmt: skip
_ENDINGS = frozenset(
    (
        "png", "jpg", "jpeg", "gif", "bmp", "ico", "tif", "tiff", "webp", "heic", "psd", "ai",
        "svg", "mp3", "wav", "flac", "ogg", "oga", "m4a", "aac", "mp4", "m4v", "mov", "avi",
        "mkv", "webm", "wmv", "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "tar", "jar",
        "war", "whl", "iso", "dmg", "exe", "dll", "so", "dylib", "a", "o", "obj", "lib",
        "class", "pyc", "pyo", "pyd", "wasm", "bin", "dat", "db", "sqlite", "sqlite3",
        "parquet", "arrow", "feather", "npy", "npz", "pt", "pth", "onnx", "gguf", "safetensors",
        "h5", "hdf5", "pkl", "pickle", "woff", "woff2", "ttf", "otf", "eot", "lock", "map",
        "swp", "swo", "bak", "tmp", "part", "pem", "key", "p12", "pfx", "crt", "kdbx",
    )
)  # fmt: skip
_FILES = frozenset(
    (
        "id_rsa", "id_ed25519", "id_ecdsa", "thumbs.db", "desktop.ini", "package-lock.json",
        "pnpm-lock.yaml", "npm-shrinkwrap.json",
    )
)  # fmt: skip


def is_wanted(path: PurePath | str) -> bool:
    """Whether a scan of a folder reads the file at ``path`` (relative to the folder) by default:
    not what is hidden, made by a build, a key or surely no text. Looks at the name only."""
    *folders, name = PurePath(path).parts or ("",)
    if any(_is_skipped(folder) for folder in folders):
        return False
    low = name.lower()
    hidden = low.startswith((".", "~$")) or low.endswith("~") or low == ""
    ending = PurePath(low).suffix[1:]
    return not hidden and low not in _FILES and ending not in _ENDINGS and ".min." not in low


def _is_skipped(folder: str) -> bool:
    hidden = folder.startswith(".") and folder not in (".", "..")
    return hidden or folder in _FOLDERS or folder.endswith((".egg-info", ".dist-info"))
