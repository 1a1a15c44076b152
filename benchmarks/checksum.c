/* The loop that both sides of the comparison run: an Internet checksum over a packet, many times. */
unsigned int checksum(const unsigned short *words, unsigned int count, unsigned int rounds)
{
	unsigned int sum = 0, i;

	while (rounds--) {
		for (i = 0; i < count; i++) {
			sum += words[i];
			sum = (sum & 0xffff) + (sum >> 16);
		}
	}
	return sum;
}
