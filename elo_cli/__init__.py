"""elo: learn video representations without labels, and search for the loss that learns them best.

From Python, `encoder = elo_cli.load_encoder("elo/pretrain")` and `features = encoder(clips)`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elo_cli.engine.export import load_encoder

__all__ = ["__version__", "load_encoder"]

__version__: str


def __getattr__(name: str) -> Any:
    # Looked up when asked for: PyTorch, and even importlib.metadata, takes longer to load than the rest of this package.
    if name == "load_encoder":
        # By name, so that `from elo_cli import dist` on a lower floor counts as no import of the engine.
        import importlib

        return importlib.import_module("elo_cli.engine.export").load_encoder
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.metadata

    try:
        return importlib.metadata.version("elo-cli")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
