#include "common/process/control_message.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace knee::process {
namespace {

/// The payload of the plan's message. The plan itself may be longer than a socket message can be
/// and lies in a memfd, the first of the descriptors beside it; the plan's own follow.
struct PlanHead {
  std::uint64_t magic = 0;
  pid_t slave = 0;
};
constexpr std::uint64_t kMagic = 0x314e'414c'5045'454b;  // "KEEPLAN1" in memory

using ControlSpace = std::array<char, CMSG_SPACE((kMostDescriptors + 2) * sizeof(int))>;

[[noreturn]] void refuse(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

Descriptor write_memfd(std::span<const std::byte> bytes) {
  Descriptor file(::memfd_create("knee-plan", MFD_CLOEXEC));
  if (!file) refuse(errno, "cannot make a memory file for a spawn plan");
  while (!bytes.empty()) {
    const ssize_t done = ::write(file.get(), bytes.data(), bytes.size());
    if (done < 0) refuse(errno, "cannot write a spawn plan");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return file;
}

std::vector<std::byte> read_whole(const Descriptor& file) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got =
        ::pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got <= 0) refuse(got < 0 ? errno : EIO, "cannot read a spawn plan");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::vector<Descriptor> take_descriptors(msghdr& header) {
  std::vector<Descriptor> taken;
  for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      taken.emplace_back(fd);
    }
  }
  return taken;
}

SpawnPlan decode_received(const std::vector<Descriptor>& descriptors) {
  if (descriptors.empty()) refuse(EPROTO, "a spawn plan did not arrive");
  std::vector<int> numbers;
  for (std::size_t i = 1; i < descriptors.size(); ++i) numbers.push_back(descriptors[i].get());
  return decode_plan(read_whole(descriptors.front()), numbers);
}

msghdr make_header(iovec& payload, ControlSpace& space, std::size_t space_used) {
  msghdr header{};
  header.msg_iov = &payload;
  header.msg_iovlen = 1;
  header.msg_control = space.data();
  header.msg_controllen = space_used;
  return header;
}

}  // namespace

void send_plan(int socket, const SpawnPlan& plan) {
  const auto file = write_memfd(encode(plan));
  auto numbers = descriptors_of(plan);
  numbers.insert(numbers.begin(), file.get());
  const std::size_t bytes = numbers.size() * sizeof(int);

  PlanHead head{kMagic, ::getpid()};
  iovec payload{&head, sizeof head};
  alignas(cmsghdr) ControlSpace space{};
  auto header = make_header(payload, space, CMSG_SPACE(bytes));
  auto* const part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(part), numbers.data(), bytes);
  if (::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    refuse(errno, "cannot hand '" + plan.executable + "' and its descriptors to a keeper");
  }
}

std::optional<ReceivedPlan> receive_plan(int socket) {
  PlanHead head;
  iovec payload{&head, sizeof head};
  alignas(cmsghdr) ControlSpace space{};
  auto header = make_header(payload, space, space.size());
  const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0) refuse(errno, "cannot read a spawn plan (only knee-slave itself starts keepers)");
  if (got == 0) return std::nullopt;
  ReceivedPlan received{.plan = {}, .slave = head.slave, .descriptors = take_descriptors(header)};
  if (got != sizeof head || head.magic != kMagic) refuse(EPROTO, "what arrived is no spawn plan");
  if ((header.msg_flags & MSG_CTRUNC) != 0) refuse(EMFILE, "cannot take a plan's descriptors");
  received.plan = decode_received(received.descriptors);
  return received;
}

}  // namespace knee::process
