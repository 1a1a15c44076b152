#ifndef LAB_TYPES_H
#define LAB_TYPES_H
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned int size_t;
typedef long long loff_t;
typedef struct { volatile int counter; } atomic_t;
struct list_head { struct list_head *next, *prev; };
enum state { STOPPED, RUNNING = 5 };
#endif
