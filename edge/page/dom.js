// Elements made and changed by text alone: what strangers send is never read as HTML.
(function (soundclr) {
  "use strict";

  /**
   * @param {string} name of the element
   * @param {object} attributes `text` and `className` besides HTML's own
   * @param {...Node} children
   */
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "text") element.textContent = value;
      else if (key === "className") element.className = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  /** Changes a text where it has changed, so that screen readers and selections are left alone. */
  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function setAttribute(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  function setHidden(element, isHidden) {
    if (element.hidden !== isHidden) element.hidden = isHidden;
  }

  /**
   * Lets a container show one view for each item, in their order; views that are there stay.
   * @param {Map<string, {element: Element}>} views by key, changed in place
   * @param {Array} items
   * @param {function} keyOf key of an item
   * @param {function} viewOf makes the view of a new item
   */
  function arrange(container, views, items, keyOf, viewOf) {
    const keys = new Set(items.map(keyOf));
    for (const [key, view] of views) {
      if (keys.has(key)) continue;
      view.element.remove();
      views.delete(key);
    }
    let place = container.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      if (!views.has(key)) views.set(key, viewOf(item));
      const { element } = views.get(key);
      if (element === place) place = place.nextElementSibling;
      else container.insertBefore(element, place);
    }
  }

  soundclr.dom = { make, setText, setAttribute, setHidden, arrange };
})((window.soundclr = window.soundclr || {}));
