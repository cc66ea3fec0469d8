// Material searches in a worker, and browsers start none from file://. There, and only there, the
// worker's script runs in a hidden frame instead. The name of this file keeps Material's offline
// plugin from fetching such a script from elsewhere.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.worker = this;
      this.waiting = [];
      const script = document.createElement("script");
      script.src = new URL(address, location.href).href;
      // What a worker posts goes to the page that started it, not to its own window.
      this.frame.srcdoc = `<script>
        window.postMessage = data =>
          frameElement.worker.dispatchEvent(new MessageEvent("message", {data}));
      <\/script>${script.outerHTML}`;
      this.frame.onload = () => {
        for (const data of this.waiting.splice(0)) this.deliver(data);
        this.waiting = null;
      };
      document.body.append(this.frame);
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(data);
    }

    deliver(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}));
    }
  };
}
