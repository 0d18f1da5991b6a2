"""Networks on DRAM that computes: where matrices lie in it, and how long its controller takes."""
