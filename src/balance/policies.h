/* The policies' tables, for balance.c alone. */
#ifndef BALANCE_POLICIES_H
#define BALANCE_POLICIES_H

#include "balance/balance.h"

extern const struct balance_ops balance_least_transactions;
extern const struct balance_ops balance_round_robin;
extern const struct balance_ops balance_by_latency;
extern const struct balance_ops balance_hash;
extern const struct balance_ops balance_random;

#endif
