"""Parts of networks: blocks, decoders, heads and the distances they are trained with."""
