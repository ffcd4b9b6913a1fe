#define TWIN "b"
#define TWIN_NAME b
#include "twin_body.h"
