#pragma once
/// The only include a driver needs.
#include <knee/bag.h>
#include <knee/cluster.h>
#include <knee/codec.h>
#include <knee/command.h>
#include <knee/error.h>
#include <knee/function.h>
#include <knee/object.h>
#include <knee/options.h>
#include <knee/promise.h>
#include <knee/python.h>
#include <knee/ref.h>
#include <knee/shared.h>
#include <knee/slave.h>
#include <knee/this_task.h>
#include <knee/value.h>
