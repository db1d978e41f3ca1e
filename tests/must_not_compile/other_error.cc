// error: no match for an operator that no one wrote
#include "base/no_such_header.h"
