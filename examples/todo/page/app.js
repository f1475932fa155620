// The page: a login, the list, and what happens, as it happens.
import { connect, isOfficial } from './connections.js';

const at = id => document.getElementById(id);
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

let user = null;       // whoever logged in
let isLive = false;    // Do events arrive?
let failed = '';       // what failed last: an 'action', the 'list', or the 'login'

const gateway = connect({ connected, disconnected, event });
at('notice').hidden = isOfficial;

// ---- What is shown ---------------------------------------------------------------------------------------------------

function log(text, kind) {
  const time = element('time', { textContent: new Date().toLocaleTimeString() });
  at('log').prepend(element('li', {}, time, element('span', { textContent: text, className: kind || '' })));
  while (at('log').children.length > 30) at('log').lastChild.remove();
}

// Only a change is told to screen readers.
function tell(id, text, kind) {
  if (at(id).textContent === text) return;
  at(id).textContent = text;
  at(id).className = `pill ${kind}`;
}

const explain = error => (error.code ? `${error.code} ${error.name}: ${error.message}` : error.message);

function show(page) {
  // Whoever uses the keyboard stays where they were.
  const focused = document.activeElement && document.activeElement.id;
  at('todos').replaceChildren(...page.data.map(row));
  at('source').textContent = page.total ? `${page.total} in all, listed by replica ${page.replica}` : `Nothing to do, says replica ${page.replica}`;
  if (focused && at(focused)) at(focused).focus();
}

function row(todo) {
  const box = element('input', { type: 'checkbox', id: `done-${todo.id}`, checked: todo.done });
  box.onchange = async () => {
    box.disabled = true;
    if (!await act(`patch todos/${todo.id}`, () => gateway.patch(todo.id, { done: box.checked }))) box.checked = todo.done;
    box.disabled = false;
  };
  const remove = element('button', { type: 'button', id: `remove-${todo.id}`, textContent: 'Delete', ariaLabel: `Delete: ${todo.text}` });
  remove.onclick = async () => {
    remove.disabled = true;
    if (await act(`remove todos/${todo.id}`, () => gateway.remove(todo.id))) at('text').focus();
    remove.disabled = false;
  };
  const label = element('label', {}, box, element('span', { textContent: todo.text }));
  return element('li', { className: todo.done ? 'done' : '' }, label, remove);
}

// ---- Calls -----------------------------------------------------------------------------------------------------------

// Makes one call and says which replica answered it. A gateway that has forgotten who we are is told once more.
async function call(name, work) {
  const answer = await work().catch(async error => {
    if (error.code !== 401) throw error;
    await gateway.resume(true);
    return work();
  });
  log(`${name} answered by replica ${answer.replica}`);
  return answer;
}

// An action shows by the event it causes; without live events the list must be asked for.
async function act(name, work) {
  const done = await attempt('action', () => call(name, work));
  if (done && !isLive) list();
  return done;
}

// Does something and shows its error until the same kind of thing succeeds: a new list does not hide why an action failed.
async function attempt(kind, work) {
  try {
    await work();
    if (failed === kind) at('error').textContent = failed = '';
    return true;
  } catch (error) {
    failed = kind;
    at('error').textContent = explain(error);
    log(explain(error), 'bad');
    if (error.code === 401) leave();
    return false;
  }
}

let listing = false, again = false;
async function list() {
  if (listing) { again = true; return; }
  listing = true;
  do {
    again = false;
    await attempt('list', async () => show(await call('find todos', gateway.find)));
  } while (again && user);
  listing = false;
}

// ---- Login -----------------------------------------------------------------------------------------------------------

async function start() {
  await refusal();
  if (!gateway.hasToken()) return leave();
  await attempt('login', async () => enter(await gateway.resume()));
  if (!user) leave();
}

// What somebody without a login gets.
async function refusal() {
  try {
    await gateway.stranger();
    at('refused').textContent = 'It was not refused. It should have been.';
  } catch (error) {
    at('refused').textContent = explain(error);
    log(`find todos without a login: ${explain(error)}`, 'bad');
  }
}

function enter(session) {
  user = session.user;
  at('name').textContent = user.email;
  at('welcome').hidden = true;
  at('list').hidden = at('user').hidden = false;
  log(`logged in as ${user.email}`, 'good');
  list();
}

function leave() {
  user = null;
  at('welcome').hidden = false;
  at('list').hidden = at('user').hidden = true;
  at('todos').replaceChildren();
  if (!isOfficial) tell('live', 'HTTP: log in to hear events', '');
}

at('login').onsubmit = async submitted => {
  submitted.preventDefault();
  const button = at('login').querySelector('button');
  button.disabled = true;
  await attempt('login', async () => enter(await gateway.logIn(at('email').value, at('password').value)));
  button.disabled = false;
};

at('logout').onclick = async () => {
  if (await attempt('login', gateway.logOut)) log('logged out');
  leave();
};

at('add').onsubmit = async submitted => {
  submitted.preventDefault();
  const button = at('add').querySelector('button');
  button.disabled = true;
  if (await act('create todos', () => gateway.create({ text: at('text').value }))) at('text').value = '';
  button.disabled = false;
};

// ---- Events ----------------------------------------------------------------------------------------------------------

async function connected() {
  tell('live', isOfficial ? 'Socket.IO: connected' : 'HTTP: connected, events arrive', 'good');
  isLive = true;
  if (!user) return;
  // Whatever happened meanwhile was missed.
  if (await attempt('login', () => gateway.resume())) list();
}

function disconnected() {
  isLive = false;
  if (!user && !isOfficial) return;
  tell('live', isOfficial ? 'Socket.IO: not connected, trying again…' : 'HTTP: not connected, trying again…', 'bad');
}

function event(service, name, data) {
  if (service === 'nodes') {
    if (name === 'resync') return;
    const isUp = name === 'created';
    log(`node ${isUp ? 'up' : 'down'}: ${data.app}, process ${data.pid}`, isUp ? 'good' : 'bad');
    // The first one back serves the list that could not be had meanwhile.
    if (isUp && failed === 'list') list();
  } else if (service === 'todos') {
    log(name === 'resync' ? 'resync: events were missed' : `${name}: ${data.text} (by replica ${data.replica})`, 'good');
    if (user) list();
  }
}

async function health() {
  try {
    const reply = await fetch('/distribution/healthcheck');
    const answer = await reply.json();
    const up = reply.ok ? answer.todos : (answer.data || {}).todos;
    if (up) tell('health', 'Service todos: up', 'good');
    else if (up === false) tell('health', 'Service todos: no replica is up, calls wait for one', 'bad');
    else tell('health', 'Service todos: nobody offers it yet', '');
  } catch {
    tell('health', 'The gateway does not answer', 'bad');
  }
  setTimeout(health, 1000);
}

start();
health();
