"""Sound: devices, ISA DMA channels, and the files through which programs reach them (Linux 2.4 ``drivers/sound``)."""
