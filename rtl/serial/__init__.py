"""A board's end of the serial link of rtl/arch/serial.py."""
