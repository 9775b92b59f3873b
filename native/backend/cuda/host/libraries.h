// Shared libraries that are opened on demand: where they are looked for, and what is said when they
// are not there. No CUDA header: the search is tested on any machine.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace acd {

struct LibraryWish {
  std::string name;                        // for people: "cuBLASLt"
  std::string soname;                      // "libcublasLt.so.13"
  std::vector<std::string> wheel_folders;  // below a site-packages/nvidia folder: "cu13/lib"
};

struct OpenedLibrary {
  void* handle = nullptr;  // never closed: these libraries do not survive it
  std::string path;        // as the loader resolved it
  std::string origin;      // "ACD_CUDA_LIBRARY_PATH", "the system", "CUDA_HOME", "Python's wheels"
  std::string failure;     // when there is no handle: every place that was tried
};

// Folders to try before and after the system's own search, in order, each with the name of the rule
// that gave it.
struct SearchFolder {
  std::string folder;
  std::string origin;
};

// The environment that the search reads: process_environ in the program, a table in tests.
using Environ = const char* (*)(const char* name);
const char* process_environ(const char* name);

// ACD_CUDA_LIBRARY_PATH (folders with ':' between); then the system's loader (an empty folder);
// then CUDA_HOME and CUDA_PATH, /usr/local/cuda, and Python's wheels: of VIRTUAL_ENV, CONDA_PREFIX,
// and every python3 on PATH.
std::vector<SearchFolder> search_folders(const LibraryWish& wish, Environ environ);

OpenedLibrary open_library(const LibraryWish& wish, Environ environ);

// 130101 -> "13.1.1": how cuBLASLt since 12 and cuDNN since 9 count their versions.
std::string version_text(size_t version);

// The address of a function, or null.
void* find_symbol(const OpenedLibrary& library, const char* name);

}  // namespace acd
