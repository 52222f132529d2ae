"""From video files to what a shard holds: frames, sound and flow; no torch, so that worker processes stay small."""
