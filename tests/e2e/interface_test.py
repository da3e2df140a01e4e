"""glasstui in a real terminal (tmux)."""
import os, signal, time

from lab import TUI, Lab


class Interface(Lab):
    def test_interface(self):
        self.curl("/api/a%20b", "-H", "X-Evil: \x1b[31m")
        self.curl("/down")
        for size in ((80, 24), (140, 45)):
            self.tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "LC_ALL=C.UTF-8 %s -S %s" % (TUI, self.sock))
            try:
                time.sleep(0.7)
                first = self.screen("g")
                self.assertIn("a.test/api/a%20b", first)
                self.assertIn("from the client", first)
                self.assertIn("Host: a.test", first)
                self.assertTrue(all(len(line) <= size[0] for line in first.split("\n")))
                self.assertIn("normalised    /api/a b", self.screen("2"))
                self.assertIn("Attempts", self.screen("3"))
                self.assertIn("to the client", self.screen("4"))
                self.assertIn("build upstream request", self.screen("5", "Enter", "NPage", "Escape"))
                self.assertIn("Help", self.screen("?"))
                filtered = self.screen("x", "/", "d", "o", "w", "n", "Enter")
                self.assertIn("filter: down", filtered)
                self.assertNotIn("/api/a%20b", filtered)
                self.assertIn("PAUSED", self.screen("Space"))
                self.tmux("resize-window", "-x", "80", "-y", "24")
                self.assertIn("glasstui", self.screen())
                self.screen("q")
            finally:
                self.tmux("kill-server")
        self.assertIn("200 OK", self.curl("/"))

    def test_interface_killed(self):
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", "exec %s -S %s" % (TUI, self.sock))
        time.sleep(0.6)
        os.kill(int(self.tmux("list-panes", "-F", "#{pane_pid}")), signal.SIGKILL)
        self.assertIn("200 OK", self.curl("/"))
        self.tmux("kill-server")
