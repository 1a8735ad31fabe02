// A choice that reads as a word of a sentence: a quiet button that opens a list, with a search field
// when the list is long. One component for events, properties, operators, units and measures.

import { Combobox, useCombobox } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { type ReactNode, useMemo, useRef, useState } from 'react';
import { useTranslation } from '../i18n';
import classes from './Picker.module.css';

export interface PickerOption {
  value: string;
  label: string;
  /** Small text at the right end: a count, a type. */
  note?: ReactNode;
  disabled?: boolean;
}

interface PickerProps {
  /** What is being chosen, for those who do not see the sentence. */
  label: string;
  value: string | null;
  options: PickerOption[];
  onChange: (value: string) => void;
  placeholder?: string;
  icon?: ReactNode;
  /** Wide fills its row; quiet blends into the sentence. */
  variant?: 'wide' | 'quiet' | 'add';
  /** The single key that presses this button. */
  dataKey?: string;
}

const SEARCH_FROM = 8;
// A longer list is searched, not scrolled.
const SHOWN_MAX = 200;

export function Picker(props: PickerProps) {
  const { label, value, options, onChange, placeholder, icon, variant = 'quiet', dataKey } = props;
  const { t } = useTranslation();
  const [search, setSearch] = useState('');
  const searchable = options.length > SEARCH_FROM;
  const submitted = useRef(false);
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption();
      // What an "add" button adds takes the focus itself.
      if (!(variant === 'add' && submitted.current)) combobox.focusTarget();
      submitted.current = false;
      setSearch('');
    },
    onDropdownOpen: (source) => {
      if (searchable) combobox.focusSearchInput();
      else if (source === 'keyboard') combobox.selectActiveOption();
      else combobox.updateSelectedOptionIndex('active');
    },
  });

  const shown = useMemo(() => {
    const wanted = search.trim().toLocaleLowerCase();
    const matching = wanted
      ? options.filter((option) => option.label.toLocaleLowerCase().includes(wanted))
      : options;
    return matching.slice(0, SHOWN_MAX);
  }, [options, search]);

  const chosen = options.find((option) => option.value === value);
  const text = chosen?.label ?? value ?? placeholder ?? '';

  return (
    <Combobox
      store={combobox}
      onOptionSubmit={(next) => {
        submitted.current = true;
        onChange(next);
        combobox.closeDropdown();
      }}
      position="bottom-start"
      width={searchable ? 300 : 'max-content'}
      withinPortal
    >
      <Combobox.Target targetType="button">
        <button
          type="button"
          data-key={dataKey}
          className={classes.target}
          data-variant={variant}
          data-empty={value === null || undefined}
          aria-label={value === null ? label : `${label}: ${text}`}
          onClick={() => combobox.toggleDropdown()}
        >
          {icon}
          <span className={classes.text}>{text}</span>
          {variant !== 'add' && <IconChevronDown size={14} className={classes.chevron} aria-hidden="true" />}
        </button>
      </Combobox.Target>
      <Combobox.Dropdown className={classes.dropdown}>
        {searchable && (
          <Combobox.Search
            value={search}
            onChange={(event) => {
              setSearch(event.currentTarget.value);
              combobox.updateSelectedOptionIndex();
            }}
            placeholder={t('picker.search')}
            role="combobox"
            aria-expanded
            aria-controls={combobox.listId ?? undefined}
            aria-label={t('picker.search')}
          />
        )}
        <Combobox.Options mah={320} className={classes.options} aria-label={label}>
          {shown.length === 0 && <Combobox.Empty>{t('picker.nothing')}</Combobox.Empty>}
          {shown.map((option) => (
            <Combobox.Option
              key={option.value}
              value={option.value}
              disabled={option.disabled}
              active={option.value === value}
              className={classes.option}
            >
              <span className={classes.optionLabel}>{option.label}</span>
              {option.note !== undefined && <span className={classes.note}>{option.note}</span>}
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
