// Two ways to the gateway that offer the same: the official Feathers client over Socket.IO, and what every browser has.
//
// Each tells `hear` when it is `connected`, `disconnected`, and of every `event`. Both remember the token under the
// same name, so a login outlives the page. Errors have `name`, `message` and `code`, as Feathers has them.
/* global feathers, io */

const TOKEN = 'feathers-jwt';
// Longer than any call takes: a call that gets no answer shall end by the gateway's word, not by ours.
const PATIENCE = 30_000;
const RETRY = 500;

export const isOfficial = Boolean(window.feathers && window.io);
export const connect = hear => (isOfficial ? official(hear) : plain(hear));

function official(hear) {
  const pause = { reconnectionDelay: RETRY, reconnectionDelayMax: 4 * RETRY };
  const socket = io({ transports: ['websocket'], ackTimeout: PATIENCE, ...pause });
  const app = feathers()
    .configure(feathers.socketio(socket))
    .configure(feathers.authentication({ storage: window.localStorage, storageKey: TOKEN }));
  const todos = app.service('todos');
  socket.on('connect', hear.connected);
  socket.on('disconnect', reason => {
    hear.disconnected();
    // The gateway ends a connection whose token is over, and Socket.IO takes that for the end. One can log in again.
    if (reason === 'io server disconnect') socket.connect();
  });
  socket.onAny((name, data) => {
    const [service, event] = name.split(' ');
    hear.event(service, event, data);
  });
  return {
    stranger: () => todos.find(),
    hasToken: () => localStorage.getItem(TOKEN) !== null,
    logIn: (email, password) => app.authenticate({ strategy: 'local', email, password }),
    resume: force => app.reAuthenticate(force),
    logOut: () => app.logout(),
    find: () => todos.find(),
    create: data => todos.create(data),
    patch: (id, data) => todos.patch(id, data),
    remove: id => todos.remove(id)
  };
}

function plain(hear) {
  let listening;

  async function ask(verb, path, { body, token = localStorage.getItem(TOKEN) } = {}) {
    const headers = { accept: 'application/json' };
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers['content-type'] = 'application/json';
    const reply = await fetch(path, { method: verb, headers, body: body && JSON.stringify(body) }).catch(() => {
      throw new Error('The gateway does not answer. Is it running?');
    });
    const answer = await reply.json().catch(() => ({}));
    if (reply.ok) return answer;
    throw Object.assign(new Error(answer.message || reply.statusText), { name: answer.name, code: reply.status });
  }

  async function session(credentials) {
    try {
      const session = await ask('POST', '/authentication', { body: credentials, token: '' });
      localStorage.setItem(TOKEN, session.accessToken);
      if (!listening) listen(listening = new AbortController());
      return session;
    } catch (error) {
      if (error.code === 401 || error.code === 404) forget();
      throw error;
    }
  }

  function forget() {
    localStorage.removeItem(TOKEN);
    if (listening) listening.abort();
    listening = undefined;
  }

  // An EventSource can send no token, so the stream of events is read by hand.
  async function listen({ signal }) {
    while (!signal.aborted) {
      try {
        const headers = { authorization: `Bearer ${localStorage.getItem(TOKEN)}` };
        const reply = await fetch('/events', { headers, signal });
        // Whoever is refused learns why when they resume, which they do once they hear of the connection.
        if (reply.ok || reply.status === 401) hear.connected();
        if (reply.ok) await read(reply.body.pipeThrough(new TextDecoderStream()));
      } catch { /* The next attempt follows. */ }
      hear.disconnected();
      await new Promise(done => setTimeout(done, RETRY));
    }
  }

  async function read(text) {
    let unread = '';
    for (const reader = text.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const messages = (unread + value).split('\n\n');
      unread = messages.pop();
      for (const message of messages.filter(message => message.startsWith('data:'))) {
        const { service, event, data } = JSON.parse(message.slice('data:'.length));
        hear.event(service, event, data);
      }
    }
  }

  return {
    stranger: () => ask('GET', '/todos', { token: '' }),
    hasToken: () => localStorage.getItem(TOKEN) !== null,
    logIn: (email, password) => session({ strategy: 'local', email, password }),
    resume: () => session({ strategy: 'jwt', accessToken: localStorage.getItem(TOKEN) }),
    logOut: () => ask('DELETE', '/authentication').finally(forget),
    find: () => ask('GET', '/todos'),
    create: body => ask('POST', '/todos', { body }),
    patch: (id, body) => ask('PATCH', `/todos/${id}`, { body }),
    remove: id => ask('DELETE', `/todos/${id}`)
  };
}
