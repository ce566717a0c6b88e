"""Comparing methods on a problem: adapters and problems, cells, runs, statistics, and the judgement."""
