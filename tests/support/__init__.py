"""Helpers that tests share: where optional test data is, parity fixtures."""
