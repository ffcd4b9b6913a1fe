#define TWIN "a"
#define TWIN_NAME a
#include "twin_body.h"
