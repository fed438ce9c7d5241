#pragma once
#include <pthread.h>

#include <string>

namespace weir {

/// For top, perf and the like. The kernel keeps 15 bytes.
inline void name_this_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace weir
