#pragma once
#include <memory>
#include <string>
#include <vector>

#include "common/program/launch.h"
#include "proto/slave.capnp.h"
#include "slave/session.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// One file of a program as a driver announces it.
struct AnnouncedFile {
  std::string name;
  program::FileRole role = program::FileRole::kLibrary;
  Digest digest;
};

/// Throws if a digest is none.
std::vector<AnnouncedFile> announced_files(proto::Variant::Reader variant);

/// A program that can be started, and what protects its files while it is in use.
struct PreparedProgram {
  program::Launch launch;
  DerivedPin folder;
  UniqueFd interpreter;            ///< the shipped loader, open
  std::vector<std::string> files;  ///< names in the announced order, "" for the executable
};

/// Makes a program out of blobs, or finds the one made before. Blocks on the disk: not on the loop.
/// Throws std::runtime_error that says which file is lacking or why it cannot run here.
std::shared_ptr<PreparedProgram> prepare_program(BlobStore& store,
                                                 const std::vector<AnnouncedFile>& files);

/// How its workers are started, with the driver's arguments and what it adds to the environment.
WorkerProgram worker_program(const PreparedProgram& program, std::vector<std::string> arguments,
                             const std::vector<std::string>& environment);

/// The slave's own environment as "NAME=value", with `more` put over it. What has no name is left
/// out.
std::vector<std::string> environment_with(const std::vector<std::string>& more);

}  // namespace knee::slave
