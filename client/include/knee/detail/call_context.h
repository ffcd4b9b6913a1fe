#pragma once
#include <memory>
#include <vector>

#include <knee/detail/export.h>

namespace knee::detail {

struct SharedBlob;
using SharedBlobRef = std::shared_ptr<const SharedBlob>;
class Object;
using ObjectRef = std::shared_ptr<Object>;

/// What the arguments of one call refer to: the context they are encoded with.
struct CallContext {
  std::vector<SharedBlobRef> shared;
  std::vector<ObjectRef> objects;
};

/// The objects that the arguments being decoded on this thread refer to; null: there are none.
KNEE_EXPORT const std::vector<ObjectRef>*& arriving_objects() noexcept;

/// While it lives, arguments decoded on this thread refer to these.
class ArrivingObjects {
 public:
  explicit ArrivingObjects(const std::vector<ObjectRef>& objects) : before_(arriving_objects()) {
    arriving_objects() = &objects;
  }
  ~ArrivingObjects() { arriving_objects() = before_; }
  ArrivingObjects(const ArrivingObjects&) = delete;

 private:
  const std::vector<ObjectRef>* before_;
};

}  // namespace knee::detail
