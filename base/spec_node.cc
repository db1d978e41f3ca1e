#include "base/spec_node.h"
