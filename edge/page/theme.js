// Light, dark, or as the system has it. Remembered in this browser alone.
(function (soundclr) {
  "use strict";

  const KEY = "soundclr-theme";
  const CHOICES = ["auto", "light", "dark"];

  /** Lets a button go round the themes. @param {function} onChange called after each change, the system's too */
  function followTheme(button, onChange) {
    let theme = recall();
    const show = () => {
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      soundclr.dom.setText(button, "Theme: " + theme);
      onChange();
    };
    button.addEventListener("click", () => {
      theme = CHOICES[(CHOICES.indexOf(theme) + 1) % CHOICES.length];
      remember(theme);
      show();
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
    show();
  }

  function recall() {
    try {
      const theme = localStorage.getItem(KEY);
      return CHOICES.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // then it holds for this visit
    }
  }

  soundclr.followTheme = followTheme;
})((window.soundclr = window.soundclr || {}));
