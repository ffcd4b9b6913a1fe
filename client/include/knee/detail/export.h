#pragma once

/// What the shared library shows. Everything else in it is hidden.
#define KNEE_EXPORT __attribute__((visibility("default")))
