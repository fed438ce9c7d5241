#pragma once
#include <sys/types.h>
#include <termios.h>

#include <csignal>
#include <string>
#include <vector>

#include "agent/cli/connect.h"

namespace weir::cli {

struct ScreenSize {
  size_t width = 80, height = 24;
};
/// Of the terminal that stdout is; 80x24 when it does not say.
ScreenSize screen_size();

/// Takes the whole terminal at stdout: alternate screen, no cursor, keys from stdin without echo. Gives it
/// back as it was in the destructor, before it stops (Ctrl-Z), and before a signal ends the program. One at a
/// time, in a program without other threads: signals are taken by wait().
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  enum class Event { timeout, key, redraw, quit };
  struct Input {
    Event event;
    char key = 0;
  };
  /// The next key, or `redraw` when the size has changed or what was on the screen is lost, or `quit` when a
  /// signal asks for the end. `deadline_ns`: monotonic.
  Input wait(int64_t deadline_ns);
  /// Ends the program by the signal that was behind `quit`, after the terminal was given back.
  static void die_of(int signal);
  int signal() const { return signal_; }

  /// Lines that fit. In one write, over what is there: nothing is blank in between.
  void draw(const std::vector<std::string>& lines);

 private:
  void take();
  void give_back();
  Input on_signal();
  void suspend();

  Fd signals_;
  sigset_t blocked_, before_;
  termios modes_{};
  bool keys_ = false;   ///< stdin is a terminal, and modes_ are what it was set to
  bool input_ = false;  ///< stdin may still bring keys
  bool resized_ = false;
  int signal_ = 0;
};

}  // namespace weir::cli
