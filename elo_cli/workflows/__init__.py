"""One file for each verb: plain functions that do the whole work and print nothing."""
