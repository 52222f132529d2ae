"""elo: learn video representations without labels, and search for the loss that learns them best."""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # Looked up when asked for: importlib.metadata takes longer to load than the rest of this package.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.metadata

    try:
        return importlib.metadata.version("elo-cli")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
