"""Boards that only AMD's Vivado can fill: packaged cores, a script that joins them, constraints, and what runs on the board."""
