#ifndef _ASM_BYTEORDER_H
#define _ASM_BYTEORDER_H

#include <asm/types.h>

#define __constant_htons(x) ((__u16)((((x) & 0x00ff) << 8) | (((x) & 0xff00) >> 8)))

static inline __u16 __swab16(__u16 x)
{
	return __builtin_bswap16(x);
}

static inline __u32 __swab32(__u32 x)
{
	return __builtin_bswap32(x);
}

#define htons(x) __swab16(x)
#define ntohs(x) __swab16(x)
#define htonl(x) __swab32(x)
#define ntohl(x) __swab32(x)

#define cpu_to_be16(x) __swab16(x)
#define be16_to_cpu(x) __swab16(x)
#define cpu_to_be32(x) __swab32(x)
#define be32_to_cpu(x) __swab32(x)

#define cpu_to_le16(x) ((__u16)(x))
#define le16_to_cpu(x) ((__u16)(x))
#define cpu_to_le32(x) ((__u32)(x))
#define le32_to_cpu(x) ((__u32)(x))
#define cpu_to_le64(x) ((__u64)(x))
#define le64_to_cpu(x) ((__u64)(x))

#endif
