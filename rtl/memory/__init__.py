"""Memories behind AXI4: of the chip's blocks (`block.py`), of an SDRAM chip (`sdram.py`), and a bus for several masters (`share.py`)."""
