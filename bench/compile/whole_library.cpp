// What including the library costs a file that uses nothing of it.

#include <bitlens/bitlens.hpp>
