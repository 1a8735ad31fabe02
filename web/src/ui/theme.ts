// The look of the console: deep-sea teal on cool greys, dense, with figures that line up. Colours that
// charts and own styles use are the variables of tokens.css; this file gives the same to the components.
import {
  type CSSVariablesResolver,
  createTheme,
  DEFAULT_THEME,
  type MantineColorsTuple,
} from '@mantine/core';

const sea: MantineColorsTuple = [
  '#e9f6f8',
  '#d3ecf0',
  '#a9dbe3',
  '#7ac8d4',
  '#52b4c5',
  '#349cb0',
  '#22869b',
  '#187a91',
  '#0b5a70',
  '#074557',
];

// Cool, slightly green greys: neutral ones look brown beside the teal.
const gray: MantineColorsTuple = [
  '#f7f9fa',
  '#eff3f5',
  '#e3e9ec',
  '#d3dce0',
  '#b9c5cb',
  '#8d9ca5',
  '#586b76',
  '#40525d',
  '#293a44',
  '#15252e',
];

const dark: MantineColorsTuple = [
  '#d5e0e5',
  '#b7c6cd',
  '#93a6b0',
  '#5f7480',
  '#34495a',
  '#263a48',
  '#182a36',
  '#10202a',
  '#0b1820',
  '#071118',
];

// The dark scheme's shade as it comes has white text at less than 4.5:1.
const red = DEFAULT_THEME.colors.red.map((shade, at) =>
  at === 7 ? '#c92a2a' : shade,
) as unknown as MantineColorsTuple;

export const theme = createTheme({
  primaryColor: 'sea',
  // Both carry white text at more than 4.5:1 and stand off their surfaces at more than 3:1. One text colour
  // for both, since the contrast of a filled button is worked out without knowing the scheme.
  primaryShade: { light: 8, dark: 7 },
  autoContrast: true,
  colors: { sea, gray, dark, red },
  black: '#0e1f29',
  defaultRadius: 'md',
  radius: { xs: '3px', sm: '4px', md: '6px', lg: '10px', xl: '16px' },
  fontFamily: 'Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.25rem' },
  headings: {
    fontWeight: '640',
    sizes: {
      h1: { fontSize: '1.375rem', lineHeight: '1.3' },
      h2: { fontSize: '1.0625rem', lineHeight: '1.35' },
      h3: { fontSize: '0.9375rem', lineHeight: '1.4' },
    },
  },
  focusRing: 'auto',
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: 'sm' } },
    TextInput: { defaultProps: { size: 'sm' } },
    PasswordInput: { defaultProps: { size: 'sm' } },
    Modal: {
      defaultProps: {
        centered: true,
        overlayProps: { backgroundOpacity: 0.45 },
        radius: 'lg',
        styles: {
          content: { background: 'var(--surface)' },
          header: { background: 'var(--surface)' },
          title: { fontWeight: 640, fontSize: 'var(--mantine-font-size-lg)' },
        },
      },
    },
    // Without the placeholder the first item takes the focus, and a menu holds nothing but items.
    Menu: {
      defaultProps: {
        withInitialFocusPlaceholder: false,
        shadow: 'md',
        radius: 'md',
        transitionProps: { duration: 80 },
      },
    },
    Popover: { defaultProps: { shadow: 'md', radius: 'md', transitionProps: { duration: 80 } } },
    Combobox: { defaultProps: { shadow: 'md', radius: 'md', transitionProps: { duration: 80 } } },
    Tooltip: { defaultProps: { openDelay: 250, radius: 'sm', fz: 'xs' } },
  },
});

export const cssVariablesResolver: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-body': '#f4f7f8',
    '--mantine-color-text': '#0e1f29',
    '--mantine-color-dimmed': '#4d616d',
    '--mantine-color-placeholder': '#5f727d',
    '--mantine-color-default-border': '#d3dce0',
    '--mantine-color-error': '#b3261e',
    '--mantine-color-anchor': '#0b5a70',
  },
  dark: {
    '--mantine-color-body': '#0b1820',
    '--mantine-color-text': '#dbe6ea',
    '--mantine-color-dimmed': '#9db0ba',
    '--mantine-color-placeholder': '#8499a4',
    '--mantine-color-default-border': '#2a3f4d',
    '--mantine-color-error': '#ff9d94',
    '--mantine-color-anchor': '#7ac8d4',
  },
});
