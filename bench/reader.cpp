// reader: the least that a receiver between a socket and files can do, for comparison: one thread reads,
// finds the last line feed and writes the lines before it. It checks nothing, changes nothing, routes
// nothing.
//   reader unix:PATH|tcp:PORT FILE...      every file gets every line; ends on SIGTERM
#include "bench/receiver.h"

int main(int argc, char** argv) {
  if (argc < 3) return std::fputs("usage: reader ADDRESS FILE...\n", stderr), 64;
  std::vector<int> files;
  for (int i = 2; i < argc; ++i) files.push_back(bench::open_output(argv[i]));
  std::vector<iovec> parts;
  bench::serve(argv[1], false, [&](char* begin, size_t bytes) {
    for (int file : files) {
      parts.assign(1, {begin, bytes});
      bench::write_all(file, parts);
    }
  });
}
