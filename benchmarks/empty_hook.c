/* A block hook that does nothing: what is left of the clock's cost when its work is taken away. */
void on_block(void *engine, unsigned long long address, unsigned int size, void *data)
{
	(void)engine, (void)address, (void)size, (void)data;
}
