#include <knee/knee.h>
// BLOCK
