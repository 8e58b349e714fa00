// Where the messages come from: the broker's address, the topic root, a name and a password. The password stays in this
// page's memory: it is in no address, no cookie and no storage.
(function (soundclr) {
  "use strict";

  const { setText, setHidden } = soundclr.dom;

  class BrokerDialog {
    /** @param {function({broker, root, user, password})} onChosen */
    constructor(dialog, onChosen) {
      this._dialog = dialog;
      this._form = dialog.querySelector("form");
      this._notice = dialog.querySelector(".notice");
      this._onChosen = onChosen;
      this._form.addEventListener("submit", (event) => {
        event.preventDefault();
        this._submit();
      });
      dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
    }

    /** @param {string} notice why it is shown; empty where the reader asked for it */
    ask(broker, root, notice) {
      const fields = this._form.elements;
      fields.broker.value = broker;
      fields.root.value = root;
      this._say(notice);
      if (!this._dialog.open) this._dialog.showModal();
    }

    _submit() {
      const fields = this._form.elements;
      const checked = soundclr.checkBroker(fields.broker.value.trim());
      const root = fields.root.value.trim();
      const problem = checked.problem || soundclr.checkRoot(root);
      if (problem) {
        this._say(problem);
        return;
      }
      const chosen = { broker: checked.broker, root, user: fields.user.value, password: fields.password.value };
      fields.password.value = "";
      this._dialog.close();
      this._onChosen(chosen);
    }

    _say(notice) {
      setText(this._notice, notice);
      setHidden(this._notice, notice === "");
    }
  }

  soundclr.BrokerDialog = BrokerDialog;
})((window.soundclr = window.soundclr || {}));
