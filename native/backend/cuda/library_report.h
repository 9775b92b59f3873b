// What is told of a library that was looked for.
#pragma once

#include <string>

namespace acd {

struct LibraryReport {
  bool usable = false;
  std::string version;
  std::string path;
  std::string reason;
};

}  // namespace acd
