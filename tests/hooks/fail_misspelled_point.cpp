// A misspelled point is no type at all. Built with BITLENS_BAD=0 it compiles, with 1 it must not.
#include "bitlens/hooks/record.hpp"

#if BITLENS_BAD
using listener = bitlens::record<bitlens::hook::resid_mdi>;
#else
using listener = bitlens::record<bitlens::hook::resid_mid>;
#endif

int main() {
    listener p;
    bitlens::emit<bitlens::hook::resid_mid>(p, {0}, {});
}
