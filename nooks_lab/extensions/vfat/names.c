/*
 * Names: the mount's character set to and from UCS-2, upper case, the name
 * on disk in eight plus three characters, and what may be in a name at all.
 */

/* The upper half of code page 437, in which DOS wrote the short names. */
static const u16 cp437[128] = {
	0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7,
	0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
	0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
	0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
	0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
	0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
	0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
	0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
	0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
	0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
	0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
	0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
	0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
	0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
	0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

/* Upper case of the alphabets that have it: Latin, Greek, Cyrillic. */
static u16 fat_toupper(u16 ch)
{
	if (ch < 0x80)
		return ch >= 'a' && ch <= 'z' ? ch - 0x20 : ch;
	if (ch == 0xff)
		return 0x178;
	if (ch >= 0xe0 && ch <= 0xfe)
		return ch == 0xf7 ? ch : ch - 0x20;
	if ((ch >= 0x100 && ch <= 0x12f) || (ch >= 0x132 && ch <= 0x137) ||
	    (ch >= 0x14a && ch <= 0x177) || (ch >= 0x460 && ch <= 0x481) ||
	    (ch >= 0x1e00 && ch <= 0x1e95))
		return ch & ~1;
	if ((ch >= 0x139 && ch <= 0x148) || (ch >= 0x179 && ch <= 0x17e))
		return ch & 1 ? ch : ch - 1;
	if (ch == 0x3ac)
		return 0x386;
	if (ch >= 0x3ad && ch <= 0x3af)
		return ch - 0x25;
	if (ch == 0x3cc)
		return 0x38c;
	if (ch == 0x3cd || ch == 0x3ce)
		return ch - 0x3f;
	if (ch >= 0x3b1 && ch <= 0x3cb)
		return ch == 0x3c2 ? ch : ch - 0x20;
	if (ch >= 0x430 && ch <= 0x44f)
		return ch - 0x20;
	if (ch >= 0x450 && ch <= 0x45f)
		return ch - 0x50;
	return ch;
}

static u16 fat_tolower(u16 ch)
{
	return ch >= 'A' && ch <= 'Z' ? ch + 0x20 : ch;
}

/*
 * Takes one character of a name in UTF-8; returns its bytes, or -EINVAL
 * when that is no UTF-8. Longer forms than need be are none, nor are halves
 * of a surrogate pair.
 */
static int fat_utf8_to_char(const unsigned char *s, int len, u32 *ch)
{
	static const u32 least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	int bytes, i;
	u32 c = s[0];

	if (c < 0x80) {
		*ch = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf)
		bytes = 2;
	else if (c >= 0xe0 && c <= 0xef)
		bytes = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		bytes = 4;
	else
		return -EINVAL;
	if (bytes > len)
		return -EINVAL;
	c &= 0x7f >> bytes;
	for (i = 1; i < bytes; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -EINVAL;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[bytes] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -EINVAL;
	*ch = c;
	return bytes;
}

static int fat_char_to_utf8(u32 ch, unsigned char *s)
{
	if (ch < 0x80) {
		s[0] = ch;
		return 1;
	}
	if (ch < 0x800) {
		s[0] = 0xc0 | ch >> 6;
		s[1] = 0x80 | (ch & 0x3f);
		return 2;
	}
	if (ch < 0x10000) {
		s[0] = 0xe0 | ch >> 12;
		s[1] = 0x80 | (ch >> 6 & 0x3f);
		s[2] = 0x80 | (ch & 0x3f);
		return 3;
	}
	s[0] = 0xf0 | ch >> 18;
	s[1] = 0x80 | (ch >> 12 & 0x3f);
	s[2] = 0x80 | (ch >> 6 & 0x3f);
	s[3] = 0x80 | (ch & 0x3f);
	return 4;
}

/* Takes one character in the mount's set; returns its bytes or -EINVAL. */
static int fat_take_char(const struct vfat_options *opts, const unsigned char *s, int len, u32 *ch)
{
	if (opts->utf8)
		return fat_utf8_to_char(s, len, ch);
	*ch = s[0];
	return 1;
}

/*
 * A name to UCS-2; returns how many characters that are. A character
 * beyond the first 65,536 takes a surrogate pair, as Windows writes it.
 */
static int fat_name_to_uni(const struct vfat_options *opts, const unsigned char *name, int len, u16 *uni)
{
	int count = 0, bytes;
	u32 ch;

	while (len > 0) {
		bytes = fat_take_char(opts, name, len, &ch);
		if (bytes < 0)
			return bytes;
		if (count + (ch > 0xffff) >= VFAT_NAME_MAX)
			return -ENAMETOOLONG;
		if (ch > 0xffff) {
			ch -= 0x10000;
			uni[count++] = 0xd800 | ch >> 10;
			uni[count++] = 0xdc00 | (ch & 0x3ff);
		} else {
			uni[count++] = ch;
		}
		name += bytes;
		len -= bytes;
	}
	return count;
}

/*
 * UCS-2 to a name in at most size bytes; returns the bytes, or an error
 * when there are more. A character that the mount's set does not have
 * becomes a question mark.
 */
static int fat_uni_to_name(const struct vfat_options *opts, const u16 *uni, int count, unsigned char *name, int size)
{
	unsigned char bytes[4];
	int i, n, len = 0;
	u32 ch;

	for (i = 0; i < count; i++) {
		ch = uni[i];
		if (ch >= 0xd800 && ch <= 0xdfff) {
			if (ch < 0xdc00 && i + 1 < count && (uni[i + 1] & 0xfc00) == 0xdc00)
				ch = 0x10000 + ((ch & 0x3ff) << 10) + (uni[++i] & 0x3ff);
			else
				ch = '?';
		}
		if (opts->utf8) {
			n = fat_char_to_utf8(ch, bytes);
		} else {
			bytes[0] = ch < 0x100 ? ch : '?';
			n = 1;
		}
		if (len + n > size)
			return -ENAMETOOLONG;
		memcpy(name + len, bytes, n);
		len += n;
	}
	return len;
}

/* Trailing dots do not count: "name..." is "name". */
static int fat_striptail_len(const unsigned char *name, int len)
{
	while (len > 0 && name[len - 1] == '.')
		len--;
	return len;
}

/* Two names of the mount's set, upper and lower case alike; 0 when they are the same. */
static int fat_name_cmp(const struct vfat_options *opts, const unsigned char *a, int alen,
			const unsigned char *b, int blen)
{
	u32 ach, bch;
	int an, bn;

	alen = fat_striptail_len(a, alen);
	blen = fat_striptail_len(b, blen);
	while (alen > 0 && blen > 0) {
		an = fat_take_char(opts, a, alen, &ach);
		bn = fat_take_char(opts, b, blen, &bch);
		if (an < 0 || bn < 0) {
			an = bn = 1;
			ach = *a;
			bch = *b;
		}
		if (ach != bch && (ach > 0xffff || bch > 0xffff || fat_toupper(ach) != fat_toupper(bch)))
			return 1;
		a += an;
		alen -= an;
		b += bn;
		blen -= bn;
	}
	return alen != blen;
}

static int fat_uni_cmp(const u16 *a, int alen, const u16 *b, int blen)
{
	int i;

	if (alen != blen)
		return 1;
	for (i = 0; i < alen; i++)
		if (a[i] != b[i] && fat_toupper(a[i]) != fat_toupper(b[i]))
			return 1;
	return 0;
}

/* What no name may have ("Long File Names", and "Short Directory Entries"). */
static int fat_bad_long_char(u16 ch)
{
	return ch < 0x20 || ch == '*' || ch == '?' || ch == '<' || ch == '>' || ch == '|' ||
	       ch == '"' || ch == ':' || ch == '/' || ch == '\\';
}

static int fat_bad_short_char(u16 ch)
{
	return fat_bad_long_char(ch) || ch == '[' || ch == ']' || ch == ';' || ch == ',' || ch == '+' ||
	       ch == '=' || ch == ' ' || ch == '.' || ch >= 0x80;
}

/* DOS looks for its devices before it looks on any disk, and whatever the extension is. */
static int fat_reserved_name(const u16 *uni, int len)
{
	static const char devices[4][4] = { "AUX", "CON", "NUL", "PRN" };
	static const char ports[2][4] = { "COM", "LPT" };
	int base, i;

	for (base = 0; base < len && uni[base] != '.'; base++)
		;
	if (base != 3 && !(base == 4 && uni[3] >= '1' && uni[3] <= '9'))
		return 0;
	for (i = 0; i < (base == 3 ? 4 : 2); i++) {
		const char *name = base == 3 ? devices[i] : ports[i];

		if (fat_toupper(uni[0]) == (u16)name[0] && fat_toupper(uni[1]) == (u16)name[1] &&
		    fat_toupper(uni[2]) == (u16)name[2])
			return 1;
	}
	return 0;
}

static int fat_valid_longname(const u16 *uni, int len)
{
	int i;

	if (!len || uni[len - 1] == ' ' || fat_reserved_name(uni, len))
		return 0;
	for (i = 0; i < len; i++)
		if (fat_bad_long_char(uni[i]))
			return 0;
	return 1;
}

/* Each slot of a long name carries this of the short name it belongs to. */
static u8 fat_checksum(const u8 *name)
{
	u8 sum = 0;
	int i;

	for (i = 0; i < MSDOS_NAME; i++)
		sum = ((sum & 1) << 7) + (sum >> 1) + name[i];
	return sum;
}

/* A short name, as it stands on the disk, to UCS-2; returns the characters. */
static int fat_short_to_uni(const struct vfat_options *opts, const struct msdos_dir_entry *de, u16 *uni)
{
	int lower_base = opts->shortname & SHORTNAME_DISPLAY_LOWER ||
			 (opts->shortname & SHORTNAME_DISPLAY_WINNT && de->lcase & CASE_LOWER_BASE);
	int lower_ext = opts->shortname & SHORTNAME_DISPLAY_LOWER ||
			(opts->shortname & SHORTNAME_DISPLAY_WINNT && de->lcase & CASE_LOWER_EXT);
	int i, len = 0, end;
	u8 byte;
	u16 ch;

	for (i = 0; i < MSDOS_NAME; i++) {
		if (i == 8) {
			while (len > 0 && uni[len - 1] == ' ')
				len--;
			uni[len++] = '.';
		}
		byte = i == 0 && de->name[0] == KANJI_E5 ? DELETED_FLAG : de->name[i];
		ch = byte < 0x80 ? byte : cp437[byte - 0x80];
		uni[len++] = (i < 8 ? lower_base : lower_ext) ? fat_tolower(ch) : ch;
	}
	end = len;
	while (end > 0 && uni[end - 1] == ' ')
		end--;
	if (end > 0 && uni[end - 1] == '.')
		end--;
	return end;
}

/*
 * Whether a name is a short one as it stands, but for the case of its
 * letters; then it is written to name, and *lcase has Windows NT's flags. A
 * name of mixed case is none.
 */
static int fat_short_as_is(const u16 *uni, int len, u8 *name, u8 *lcase)
{
	int i, at = 0, part = 0, dot = -1;
	int lower[2] = { 0, 0 }, upper[2] = { 0, 0 };

	memset(name, ' ', MSDOS_NAME);
	for (i = 0; i < len; i++) {
		if (uni[i] == '.') {
			if (dot >= 0 || !i || i == len - 1)
				return 0;
			dot = i;
			part = 1;
			at = 8;
			continue;
		}
		if (fat_bad_short_char(uni[i]) || at == (part ? MSDOS_NAME : 8))
			return 0;
		if (uni[i] >= 'a' && uni[i] <= 'z')
			lower[part] = 1;
		if (uni[i] >= 'A' && uni[i] <= 'Z')
			upper[part] = 1;
		name[at++] = fat_toupper(uni[i]);
	}
	*lcase = (lower[0] ? CASE_LOWER_BASE : 0) | (lower[1] ? CASE_LOWER_EXT : 0);
	return !(lower[0] && upper[0]) && !(lower[1] && upper[1]);
}

/* One character of a generated short name; 0 for none. What a short name cannot have is an underscore. */
static u8 fat_shorten_char(u16 ch, int *lossy)
{
	if (ch == ' ' || ch == '.') {
		*lossy = 1;
		return 0;
	}
	if (fat_bad_short_char(ch)) {
		*lossy = 1;
		return '_';
	}
	return fat_toupper(ch);
}

/*
 * "The Basis-Name Generation Algorithm". The extension is what follows the
 * last dot, when something precedes that dot. Returns whether the name needs
 * a numeric tail in any case, since characters were lost.
 */
static int fat_basis_name(const u16 *uni, int len, u8 *name, int *base_len)
{
	int i, start = 0, ext, n = 0, lossy = 0;
	u8 ch;

	memset(name, ' ', MSDOS_NAME);
	while (start < len && (uni[start] == '.' || uni[start] == ' '))
		start++;
	lossy = start > 0;
	for (ext = len - 1; ext > start && uni[ext] != '.'; ext--)
		;
	if (ext <= start)
		ext = len;
	for (i = start; i < ext; i++) {
		ch = fat_shorten_char(uni[i], &lossy);
		if (!ch)
			continue;
		if (n == 8) {
			lossy = 1;
			break;
		}
		name[n++] = ch;
	}
	if (!n) {
		name[n++] = '_';
		lossy = 1;
	}
	*base_len = n;
	n = 8;
	for (i = ext + 1; i < len; i++) {
		ch = fat_shorten_char(uni[i], &lossy);
		if (!ch)
			continue;
		if (n == MSDOS_NAME) {
			lossy = 1;
			break;
		}
		name[n++] = ch;
	}
	return lossy;
}

/* "The Numeric-Tail Generation Algorithm": as much of the base as leaves room for ~n. */
static void fat_numeric_tail(u8 *name, int base_len, int number)
{
	char tail[8];
	int len;

	len = sprintf(tail, "~%d", number);
	if (base_len > 8 - len)
		base_len = 8 - len;
	memset(name + base_len, ' ', 8 - base_len);
	memcpy(name + base_len, tail, len);
}

/* For when many names have one base: two characters of it, and four digits out of the whole name. */
static int fat_hashed_base(const u16 *uni, int len, u8 *name, int base_len)
{
	char digits[5];
	u32 hash = 0;
	int i;

	for (i = 0; i < len; i++)
		hash = hash * 31 + uni[i];
	if (base_len > 2)
		base_len = 2;
	sprintf(digits, "%04X", (hash ^ hash >> 16) & 0xffff);
	memcpy(name + base_len, digits, 4);
	return base_len + 4;
}
