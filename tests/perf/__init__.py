"""Measurements that run on request (`nox -s perf`); nothing here is a test, and pytest collects none of it."""
