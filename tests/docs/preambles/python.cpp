#include <knee/knee.h>

#include <iostream>
#include <string>
#include <vector>

void use(const knee::Slave& gandalf, knee::Python py, knee::Object model) {
  (void)gandalf;
  (void)py;
  (void)model;
  {
    // BLOCK
  }
}
