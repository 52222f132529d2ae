"""Parts of networks: blocks, decoders and the distances they are trained with."""
