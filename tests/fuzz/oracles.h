#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// What must be true of any input, one function per fuzzer: empty, or what is wrong. The same input always
/// gets the same answer.
namespace weir::test {

/// YAML through load_config: mistakes lie within the text, twice the same, and what is printed is taken again
/// and means the same.
std::string check_config(std::string_view text);

/// An expression, a line feed, a record (one of ours, where it is none): the column of a mistake lies within
/// the text, the answer is always the same, and `not` turns it round.
std::string check_expressions(std::string_view text);

/// A path with fields, a line feed, a record (or anything, which becomes the value of fields): whatever the
/// record holds, the path stays beneath its root.
std::string check_path_template(std::string_view text);

/// Any bytes: as a JSON string they are read back, on a terminal they are harmless; so is a record that they
/// are, or are part of.
std::string check_escaper(std::string_view text);

/// Two bytes (how long a line may be, and a seed), then text; 0xFF and a byte stand for a long run. However
/// it is cut into reads, the lines are the same.
std::string check_split(std::string_view text);

/// Changes to a segment's file (edits.h): its reader gives out no transaction that was not written, each as
/// it was.
std::string check_segments(std::string_view edits);

/// Changes to a checkpoint's file: it is read as it was, or not at all.
std::string check_checkpoint(std::string_view edits);

/// What a client does to its rings and arena, step by step, also between two reads of the agent (each step is
/// a byte and what it needs): lines that are said to be records are, numbers stay whole, nothing else breaks.
std::string check_ring(std::string_view steps);

struct FuzzTarget {
  std::string_view name;  ///< of the fuzzer (./dev fuzz NAME), and of its vectors: proto/vectors/NAME
  std::string (*check)(std::string_view);
};

/// All but `decoder`, which has more to say (decoder_oracle.h).
inline const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<FuzzTarget> targets{{"config", check_config},
                                               {"expressions", check_expressions},
                                               {"path_template", check_path_template},
                                               {"escaper", check_escaper},
                                               {"split", check_split},
                                               {"segments", check_segments},
                                               {"checkpoint", check_checkpoint},
                                               {"ring", check_ring}};
  return targets;
}

/// A record that the decoder takes, from any text; the text itself, where it is one. Behind it, 64 bytes are
/// readable.
std::string record_of(std::string_view text, std::initializer_list<std::string_view> fields);

}  // namespace weir::test
