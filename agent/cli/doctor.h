#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace weir::cli {

enum class Verdict { ok, warn, fail };

/// What one look has found. `remedy`: one line, what to do about it; empty when it is ok.
struct Finding {
  std::string check;
  Verdict verdict;
  std::string text, remedy;
};

class Findings {
 public:
  void ok(std::string check, std::string text) { add(std::move(check), Verdict::ok, std::move(text), {}); }
  void warn(std::string check, std::string text, std::string remedy) {
    add(std::move(check), Verdict::warn, std::move(text), std::move(remedy));
  }
  void fail(std::string check, std::string text, std::string remedy) {
    add(std::move(check), Verdict::fail, std::move(text), std::move(remedy));
  }
  const std::vector<Finding>& all() const { return all_; }
  size_t count(Verdict verdict) const;

 private:
  void add(std::string check, Verdict verdict, std::string text, std::string remedy) {
    all_.push_back({std::move(check), verdict, std::move(text), std::move(remedy)});
  }
  std::vector<Finding> all_;
};

/// Whose rights count.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};
  static User self();
  /// `weir (uid 990)`
  std::string text() const;
  /// access(2) with the rights of this user, as far as we may take them on.
  bool may(const std::string& path, int mode) const;
};

/// The agent as it is seen from outside.
struct SeenAgent {
  std::string control;    ///< path of its socket
  nlohmann::json status;  ///< null: none answers
  std::string error;      ///< why not
  bool hangs = false;     ///< it is there, and gives no answer that is one
  pid_t pid = 0;          ///< here; 0: none, or it lives in another pid namespace
  User user;              ///< the agent's, else who asks
  bool runs() const { return status.is_object(); }
  /// What /proc/PID/FILE holds; empty: not to be read.
  std::string proc(const char* file) const;
};
SeenAgent look_at_agent(const std::string& control_path);

// Each adds what it finds; `config` is what the agent would start with now.
void check_agent(const SeenAgent& agent, const Config& config, Findings& out);
void check_sandbox(const SeenAgent& agent, Findings& out);
void check_service(const SeenAgent& agent, Findings& out);
void check_listeners(const SeenAgent& agent, const Config& config, Findings& out);
void check_files(const SeenAgent& agent, const Config& config, Findings& out);
void check_receivers(const Config& config, Findings& out);
void check_limits(const SeenAgent& agent, const Config* config, Findings& out);
void check_kernel(Findings& out);
void check_clock(Findings& out);

// Shared by them.
std::string parent_directory(const std::string& path);
/// The directory, or the nearest above it that is there: what is missing will be made in it.
std::string nearest_directory(std::string path);
std::string rights_text(const struct stat& info);  ///< `0660, user weir (uid 990)`
std::string user_text(uid_t uid);                  ///< `weir (uid 990)`

}  // namespace weir::cli
