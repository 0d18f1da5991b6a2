"""The controller of DRAM whose banks multiply and add: `controller.py` is the whole, `channel.py` what each channel has."""
